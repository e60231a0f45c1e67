//! What a program does not need is dropped: instructions that nothing asks for, and columns that nobody reads then.

use crate::ir::{Input, Inst, Kind, Program, Reg};

impl Program {
    /// Drops what is not used.
    pub(crate) fn sweep(&mut self) {
        let mut used = vec![false; self.insts.len()];
        let roots = self.keep.iter().chain(&self.failed);
        let roots = roots.chain(self.outputs.iter().flat_map(|o| std::iter::once(&o.value).chain(&o.valid)));
        roots.for_each(|reg| used[reg.index()] = true);
        for at in (0..self.insts.len()).rev().filter(|at| used[*at]).collect::<Vec<_>>() {
            mark(&self.insts, at, &mut used);
        }
        let mut names = vec![Reg(0); self.insts.len()];
        let mut inputs: Vec<Input> = Vec::new();
        let mut insts = Vec::new();
        for (at, (inst, kind)) in self.insts.iter().enumerate().filter(|(at, _)| used[*at]) {
            let mut of = |number: u32| {
                let input = self.inputs[number as usize];
                inputs.iter().position(|known| *known == input).unwrap_or_else(|| {
                    inputs.push(input);
                    inputs.len() - 1
                }) as u32
            };
            let inst = match *inst {
                Inst::Load(number) => Inst::Load(of(number)),
                Inst::IsValid(number) => Inst::IsValid(of(number)),
                other => renamed(other, &names),
            };
            names[at] = Reg(insts.len() as u32);
            insts.push((inst, *kind));
        }
        // Functions that nobody calls any more are not printed.
        let mut functions = Vec::new();
        for (inst, _) in &mut insts {
            if let Inst::Call(number, _) = inst {
                let function = &self.functions[*number as usize];
                let at = functions.iter().position(|known| known == function).unwrap_or_else(|| {
                    functions.push(function.clone());
                    functions.len() - 1
                });
                *number = at as u32;
            }
        }
        self.functions = functions;
        let name = |reg: &mut Reg| *reg = names[reg.index()];
        self.keep.iter_mut().chain(&mut self.failed).for_each(name);
        self.outputs
            .iter_mut()
            .flat_map(|o| std::iter::once(&mut o.value).chain(&mut o.valid))
            .for_each(name);
        (self.inputs, self.insts) = (inputs, insts);
    }
}

/// Marks the operands of an instruction, and theirs.
fn mark(insts: &[(Inst, Kind)], at: usize, used: &mut [bool]) {
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        for operand in operands(insts[at].0).into_iter().flatten() {
            if !used[operand.index()] {
                used[operand.index()] = true;
                open.push(operand.index());
            }
        }
    }
}

/// The operands of an instruction.
pub(crate) fn operands(inst: Inst) -> [Option<Reg>; 3] {
    match inst {
        Inst::Const { .. } | Inst::Load(_) | Inst::IsValid(_) => [None; 3],
        Inst::Unary(_, a) | Inst::Convert(_, a) | Inst::Bitcast(_, a) => [Some(a), None, None],
        Inst::Binary(_, a, b) => [Some(a), Some(b), None],
        Inst::Select(condition, a, b) => [Some(condition), Some(a), Some(b)],
        Inst::Call(_, arguments) => arguments,
    }
}

fn renamed(inst: Inst, names: &[Reg]) -> Inst {
    let of = |reg: Reg| names[reg.index()];
    match inst {
        Inst::Const { .. } | Inst::Load(_) | Inst::IsValid(_) => inst,
        Inst::Unary(op, a) => Inst::Unary(op, of(a)),
        Inst::Convert(kind, a) => Inst::Convert(kind, of(a)),
        Inst::Bitcast(kind, a) => Inst::Bitcast(kind, of(a)),
        Inst::Call(function, arguments) => Inst::Call(function, arguments.map(|argument| argument.map(of))),
        Inst::Binary(op, a, b) => Inst::Binary(op, of(a), of(b)),
        Inst::Select(condition, a, b) => Inst::Select(of(condition), of(a), of(b)),
    }
}
