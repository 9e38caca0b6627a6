//! What an appender holds until a sink has its line.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use tokio::sync::watch;

use crate::station::{Progress, Station};

/// No sink could take the record within its deadline. Whoever was to be answered gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unavailable;

/// Stands for a record that was appended.
#[must_use = "a record counts only once it is written"]
pub struct Receipt {
    seq: u64,
    deadline: Instant,
    /// The log is switched off: nothing is waited for.
    free: bool,
    file: Option<Lane>,
    stdout: Option<Lane>,
}

pub(crate) struct Lane {
    pub(crate) station: Arc<Station>,
    pub(crate) progress: watch::Receiver<Progress>,
}

impl Lane {
    fn has(&self, seq: u64) -> bool {
        self.progress.borrow().written >= seq
    }

    fn help(&self, seq: u64) {
        if !self.has(seq) {
            self.station.help();
        }
    }
}

/// A line that nobody waits for any more is written all the same.
impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|file| !file.has(self.seq)) {
            file.station.wake();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Synced,
    Written,
}

impl Receipt {
    pub(crate) const fn new(
        seq: u64,
        deadline: Instant,
        file: Option<Lane>,
        stdout: Option<Lane>,
    ) -> Self {
        Self { seq, deadline, free: false, file, stdout }
    }

    pub(crate) fn free() -> Self {
        Self { seq: 0, deadline: Instant::now(), free: true, file: None, stdout: None }
    }

    /// Completes when one sink has the record.
    ///
    /// # Errors
    /// When none has by the deadline.
    pub async fn written(self) -> Result<(), Unavailable> {
        self.within_deadline(Goal::Written).await
    }

    /// Completes when the file has made the record durable; when the file is out or late, when the
    /// standard output has it.
    ///
    /// # Errors
    /// When no sink has by the deadline.
    pub async fn synced(self) -> Result<(), Unavailable> {
        self.within_deadline(Goal::Synced).await
    }

    /// [`Receipt::written`] for a thread that may block.
    ///
    /// # Errors
    /// As there.
    pub fn written_blocking(self) -> Result<(), Unavailable> {
        self.blocking(Goal::Written)
    }

    /// [`Receipt::synced`] for a thread that may block.
    ///
    /// # Errors
    /// As there.
    pub fn synced_blocking(self) -> Result<(), Unavailable> {
        self.blocking(Goal::Synced)
    }

    async fn within_deadline(mut self, goal: Goal) -> Result<(), Unavailable> {
        if let Some(file) = &self.file {
            // Whatever else is ready on this thread comes first, and appends its lines: they are
            // written together.
            yield_once().await;
            file.help(self.seq);
        }
        if let Some(verdict) = self.verdict(goal, false) {
            return verdict;
        }
        self.announce(goal);
        let deadline = tokio::time::Instant::from_std(self.deadline);
        match tokio::time::timeout_at(deadline, self.reach(goal)).await {
            Ok(reached) => reached,
            Err(_) => self.verdict(goal, true).unwrap_or(Err(Unavailable)),
        }
    }

    fn blocking(mut self, goal: Goal) -> Result<(), Unavailable> {
        if let Some(file) = &self.file {
            file.station.wake();
        }
        self.announce(goal);
        let deadline = self.deadline;
        match block_until(deadline, self.reach(goal)) {
            Some(reached) => reached,
            None => self.verdict(goal, true).unwrap_or(Err(Unavailable)),
        }
    }

    fn announce(&self, goal: Goal) {
        if let Some(file) = &self.file
            && goal == Goal::Synced
        {
            file.station.want_sync(self.seq);
        }
    }

    async fn reach(&mut self, goal: Goal) -> Result<(), Unavailable> {
        loop {
            // What is seen from here on wakes us below.
            for lane in [&mut self.file, &mut self.stdout].into_iter().flatten() {
                lane.progress.mark_unchanged();
            }
            if let Some(verdict) = self.verdict(goal, false) {
                return verdict;
            }
            tokio::select! {
                () = changed(&mut self.file) => {}
                () = changed(&mut self.stdout) => {}
            }
        }
    }

    /// What has become of the record, as far as that can be said.
    fn verdict(&self, goal: Goal, late: bool) -> Option<Result<(), Unavailable>> {
        if self.free {
            return Some(Ok(()));
        }
        let standing = |lane: &Option<Lane>| lane.as_ref().map(|lane| *lane.progress.borrow());
        let (file, stdout) = (standing(&self.file), standing(&self.stdout));
        let has = |progress: Option<Progress>| progress.is_some_and(|p| p.written >= self.seq);
        let in_file = match goal {
            Goal::Synced => file.is_some_and(|progress| progress.synced >= self.seq),
            Goal::Written => has(file),
        };
        if in_file {
            return Some(Ok(()));
        }
        let may_come = |progress: Option<Progress>| progress.is_some_and(|p| !p.ended) && !late;
        // What is to be durable waits for the file, as long as that may come.
        if has(stdout) && (goal == Goal::Written || !may_come(file)) {
            return Some(Ok(()));
        }
        if may_come(file) || may_come(stdout) { None } else { Some(Err(Unavailable)) }
    }
}

/// Completes when it is asked again, behind everything else that is ready.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Completes when a sink has news; a sink that has none to come never completes.
async fn changed(lane: &mut Option<Lane>) {
    if let Some(held) = lane {
        let is_over = held.progress.borrow().ended;
        if !is_over && held.progress.changed().await.is_ok() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, until a point in time.
fn block_until<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        let now = Instant::now();
        if now >= deadline {
            return None;
        }
        std::thread::park_timeout(deadline - now);
    }
}
