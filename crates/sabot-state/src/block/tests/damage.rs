//! A damaged block is an error, whatever the damage.

use super::*;
use arrow::array::{Int64Array, StringArray};
use sabot_checkpoint::BlockId;

fn small() -> Vec<u8> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("ccc")]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1, -2, i64::MAX]));
    let batches = [batch_of(text, vec![0, 0, 9]), batch_of(number, vec![1, 2, 3])];
    encode(&batches, everything(), ORIGIN).unwrap()
}

#[test]
fn every_shortened_block_is_an_error() {
    let block = small();
    for length in 0..block.len() {
        let error = decode(&block[..length], everything()).unwrap_err();
        let not_even_a_name = length == 0;
        assert_eq!(error == BlockError::NotABlock, not_even_a_name, "{length}: {error}");
    }
    let longer = [block.as_slice(), &[0]].concat();
    assert!(matches!(decode(longer, everything()), Err(BlockError::Damaged { .. })));
    assert!(matches!(decode(vec![0; 4096], everything()), Err(BlockError::NotABlock)));
}

#[test]
fn every_flipped_bit_is_an_error() {
    let block = small();
    let mut flipped = block.clone();
    for at in 0..block.len() {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            let error = decode(flipped.as_slice(), everything()).unwrap_err();
            match at {
                0..8 => assert_eq!(error, BlockError::NotABlock),
                8..10 => assert!(matches!(error, BlockError::Newer { .. } | BlockError::Damaged { .. })),
                _ => assert!(matches!(error, BlockError::Damaged { .. }), "{at}: {error}"),
            }
            flipped[at] = block[at];
        }
    }
    decode(flipped, everything()).unwrap();
}

/// Where the checksum is right all the same, what is read may be other rows, but reading does not panic in
/// our own code: the table of contents is checked.
#[test]
fn a_table_of_contents_that_lies_is_an_error_or_other_rows() {
    let block = small();
    // Two batches, five entries of their indexes, and what stands behind.
    let contents = 8 + 2 * 16 + 8 * 5 + 16;
    let mut errors = 0;
    for at in block.len() - contents..block.len() {
        for value in [0u8, 1, 2, 4, 0x7f, 0xff] {
            let mut other = block.clone();
            if other[at] == value {
                continue;
            }
            other[at] = value;
            let header = Header::read(&block).unwrap();
            let hash = BlockId::hash(&other[Header::BYTES..]);
            Header::write(&mut other, header.groups, header.origin, &hash);
            errors += usize::from(decode(other, everything()).is_err());
        }
    }
    assert!(errors > contents, "{errors}");
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let mut block = small();
    block[8..10].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    let error = decode(block.as_slice(), everything()).unwrap_err();
    assert_eq!(error, BlockError::Newer { format: FORMAT + 1 });
    let text = error.to_string();
    assert!(
        text.contains("written by a newer version of Sabot (format 5, this one reads up to 4)"),
        "{text}"
    );
    // Also where the rest cannot be understood.
    assert_eq!(Header::read(&block[..10]).unwrap_err(), BlockError::Newer { format: FORMAT + 1 });
}

#[test]
fn flags_are_of_later_formats() {
    let mut block = small();
    block[10] = 1;
    assert!(decode(block, everything()).unwrap_err().to_string().contains("no flags 0x0001"));
}

/// Bytes that are wrong although length and checksum are right were made by somebody, and still do not end the
/// process: they are an error or other rows.
#[test]
fn forged_blocks_do_not_panic() {
    let block = small();
    let header = Header::read(&block).unwrap();
    let mut errors = 0;
    for at in Header::BYTES..block.len() {
        for value in [0u8, 1, 2, 0x7f, 0x80, 0xff] {
            let mut other = block.clone();
            if other[at] == value {
                continue;
            }
            other[at] = value;
            let hash = BlockId::hash(&other[Header::BYTES..]);
            Header::write(&mut other, header.groups, header.origin, &hash);
            errors += usize::from(decode(other, everything()).is_err());
        }
    }
    assert!(errors > block.len(), "{errors} errors of {} bytes", block.len());
}
