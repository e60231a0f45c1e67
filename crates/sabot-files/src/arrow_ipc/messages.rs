//! The messages of an Arrow stream.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow::ipc::{Message, MessageHeader, root_as_message};
use sabot_connect::{ByteStream, ConnectError};
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::corrupt;

/// What a file, and not a stream, begins with; padding follows.
const MAGIC: &[u8; 6] = b"ARROW1";

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Reads a stream, or the stream inside of a file.
pub(super) struct Messages {
    path: Arc<Path>,
    bytes: Box<dyn ByteStream>,
    schema: SchemaRef,
    dictionaries: HashMap<i64, ArrayRef>,
    /// The columns to decode, ascending; all if `None`.
    projection: Option<Vec<usize>>,
    /// The first four bytes of a message that were read already.
    begun: Option<[u8; 4]>,
    at_end: bool,
}

/// A record batch whose body has not been read.
pub(super) struct Header {
    metadata: Vec<u8>,
    pub(super) rows: u64,
    body_bytes: u64,
}

impl Messages {
    /// Reads up to the schema.
    pub(super) fn new(path: Arc<Path>, bytes: Box<dyn ByteStream>) -> Result<Self, ConnectError> {
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let mut messages = Self {
            path,
            bytes,
            schema,
            dictionaries: HashMap::new(),
            projection: None,
            begun: None,
            at_end: false,
        };
        let mut head = [0; 8];
        messages.exactly(&mut head)?;
        if head.starts_with(MAGIC) {
            // Writers pad to what they align messages to, and no message begins with a length of zero.
            let mut word = [0; 4];
            while word == [0; 4] {
                messages.exactly(&mut word)?;
            }
            messages.begun = Some(word);
        } else if head[..4] == CONTINUATION {
            messages.begun = head[4..].try_into().ok();
        } else {
            return Err(corrupt(&messages.path, "it begins neither as an Arrow file nor as a stream of one"));
        }
        messages.read_schema()?;
        Ok(messages)
    }

    pub(super) fn with_projection(mut self, columns: Vec<usize>) -> Self {
        self.projection = Some(columns);
        self
    }

    /// The columns as they are stored.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_schema(&mut self) -> Result<(), ConnectError> {
        let Some(metadata) = self.metadata()? else {
            return Err(corrupt(&self.path, "it ends before its schema"));
        };
        let message = self.parse(&metadata)?;
        let Some(schema) = message.header_as_schema() else {
            return Err(corrupt(&self.path, "its first message is no schema"));
        };
        if !schema.endianness().equals_to_target_endianness() {
            return Err(corrupt(&self.path, "its bytes are in the other order than this machine's"));
        }
        self.schema = Arc::new(fb_to_schema(schema));
        Ok(())
    }

    /// The metadata of the next message; `None` at the end.
    fn metadata(&mut self) -> Result<Option<Vec<u8>>, ConnectError> {
        if self.at_end {
            return Ok(None);
        }
        let mut length = match self.begun.take() {
            Some(begun) => begun,
            None => {
                let mut word = [0; 4];
                if !self.exactly_or_end(&mut word)? {
                    self.at_end = true;
                    return Ok(None);
                }
                word
            }
        };
        if length == CONTINUATION {
            self.exactly(&mut length)?;
        }
        match i32::from_le_bytes(length) {
            0 => {
                self.at_end = true;
                Ok(None)
            }
            length => {
                let length =
                    u64::try_from(length).map_err(|_| corrupt(&self.path, "a length is negative"))?;
                self.take(length).map(Some)
            }
        }
    }

    fn parse<'a>(&self, metadata: &'a [u8]) -> Result<Message<'a>, ConnectError> {
        root_as_message(metadata)
            .map_err(|error| corrupt(&self.path, format!("a message is broken: {error}")))
    }

    /// The header of the next record batch; dictionaries before it are taken in. `None` at the end.
    pub(super) fn next_header(&mut self) -> Result<Option<Header>, ConnectError> {
        while let Some(metadata) = self.metadata()? {
            let message = self.parse(&metadata)?;
            let body_bytes = u64::try_from(message.bodyLength())
                .map_err(|_| corrupt(&self.path, "the length of a body is negative"))?;
            match (message.header_type(), message.header_as_record_batch()) {
                (MessageHeader::RecordBatch, Some(batch)) => {
                    let rows = u64::try_from(batch.length())
                        .map_err(|_| corrupt(&self.path, "a batch has a negative number of rows"))?;
                    return Ok(Some(Header { metadata, rows, body_bytes }));
                }
                (MessageHeader::DictionaryBatch, _) => {
                    let body = self.take(body_bytes)?;
                    let message = self.parse(&metadata)?;
                    let Some(dictionary) = message.header_as_dictionary_batch() else {
                        return Err(corrupt(&self.path, "a dictionary is broken"));
                    };
                    let (schema, version) = (self.schema.clone(), message.version());
                    let body = Buffer::from_vec(body);
                    read_dictionary(&body, dictionary, &schema, &mut self.dictionaries, &version)
                        .map_err(|error| corrupt(&self.path, error))?;
                }
                (other, _) => {
                    return Err(corrupt(
                        &self.path,
                        format!("a message of type {other:?} among the batches"),
                    ));
                }
            }
        }
        Ok(None)
    }

    /// Passes over the body of a record batch.
    pub(super) fn skip(&mut self, header: &Header) -> Result<(), ConnectError> {
        match self
            .bytes
            .skip(header.body_bytes)
            .map_err(|error| ConnectError::io("read", &*self.path, error))?
        {
            all if all == header.body_bytes => Ok(()),
            _ => Err(corrupt(&self.path, "it ends inside of a batch")),
        }
    }

    /// Decodes a record batch.
    pub(super) fn decode(&mut self, header: &Header) -> Result<RecordBatch, ConnectError> {
        let body = Buffer::from_vec(self.take(header.body_bytes)?);
        let message = self.parse(&header.metadata)?;
        let Some(batch) = message.header_as_record_batch() else {
            return Err(corrupt(&self.path, "a batch is broken"));
        };
        let version = message.version();
        RecordBatchDecoder::try_new(&body, batch, self.schema.clone(), &self.dictionaries, &version)
            .and_then(|decoder| decoder.with_projection(self.projection.as_deref()).read_record_batch())
            .map_err(|error| corrupt(&self.path, error))
    }

    /// The next bytes. Memory grows with what is there, not with what was announced.
    fn take(&mut self, bytes: u64) -> Result<Vec<u8>, ConnectError> {
        let mut taken = Vec::new();
        let read = self.bytes.by_ref().take(bytes).read_to_end(&mut taken);
        match read.map_err(|error| ConnectError::io("read", &*self.path, error))? as u64 {
            all if all == bytes => Ok(taken),
            _ => Err(corrupt(&self.path, "it ends inside of a message")),
        }
    }

    fn exactly(&mut self, into: &mut [u8]) -> Result<(), ConnectError> {
        match self.exactly_or_end(into)? {
            true => Ok(()),
            false => Err(corrupt(&self.path, "it ends where a message should begin")),
        }
    }

    /// Fills `into`; false if the input has ended before.
    fn exactly_or_end(&mut self, into: &mut [u8]) -> Result<bool, ConnectError> {
        match self.bytes.read_exact(into) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(ConnectError::io("read", &*self.path, error)),
        }
    }
}
