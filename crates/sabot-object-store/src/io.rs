//! The thread that speaks to the network, for callers that wait.

use sabot_connect::ConnectError;
use std::io;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// A runtime of its own: callers may be inside of another one, or of none. One thread is enough, for it
/// moves bytes and computes nothing. It ends with the last that uses it.
#[derive(Debug)]
pub(crate) struct Io(Option<Runtime>);

impl Io {
    pub(crate) fn start() -> Result<Self, ConnectError> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("sabot-objects").enable_all().build();
        let runtime =
            runtime.map_err(|error| ConnectError::io("start", "the client of object stores", error))?;
        Ok(Self(Some(runtime)))
    }

    /// Begins some work.
    pub(crate) fn spawn<F>(&self, work: F) -> Work<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (done, result) = mpsc::sync_channel(1);
        let send = async move {
            // Whoever began it may be gone.
            let _ = done.send(work.await);
        };
        Work { task: self.0.as_ref().map(|runtime| runtime.spawn(send)), result }
    }

    /// Does some work, and waits for it. Unlike blocking on a runtime, this is allowed on its threads too.
    pub(crate) fn wait<F>(&self, work: F) -> io::Result<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.spawn(work).wait()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Dropping it would wait, which other runtimes refuse on their threads.
            runtime.shutdown_background();
        }
    }
}

/// Work that goes on while its result is not waited for, and ends when it is dropped.
pub(crate) struct Work<T> {
    task: Option<JoinHandle<()>>,
    result: mpsc::Receiver<T>,
}

impl<T> Work<T> {
    pub(crate) fn wait(self) -> io::Result<T> {
        // The client library has panicked; its caller must not wait for ever.
        self.result.recv().map_err(|_| io::Error::other("the client of the object store panicked"))
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_wherever_it_is_waited_for() {
        let io = Io::start().unwrap();
        assert_eq!(io.wait(async { 7 }).unwrap(), 7);
        let outer = Builder::new_current_thread().build().unwrap();
        // Inside of a runtime, and given up there.
        outer.block_on(async move {
            assert_eq!(io.wait(async { 8 }).unwrap(), 8);
            drop(io);
        });
    }

    #[test]
    fn a_panic_is_an_error_and_dropped_work_ends() {
        let io = Io::start().unwrap();
        let panicked = io.wait(async {
            if true {
                panic!("planted")
            }
        });
        assert!(panicked.unwrap_err().to_string().ends_with("panicked"));
        let (ended, end) = mpsc::channel::<()>();
        drop(io.spawn(async move {
            std::future::pending::<()>().await;
            drop(ended);
        }));
        assert!(end.recv().is_err());
    }
}
