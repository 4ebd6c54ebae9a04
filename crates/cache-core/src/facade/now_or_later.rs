//! Calls that most backends answer at once.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The future of a call that `now` answers, or that goes on as the future that `now` returns.
///
/// It is what an `async` block would be, but smaller: its caller moves it between writing its fields and
/// reading them, which costs as much as a lookup where the future does not fit into registers.
pub(super) struct NowOrLater<N, L> {
    now: Option<N>,
    /// Boxed: rare, and inline it would enlarge what the caller moves.
    later: Option<Pin<Box<L>>>,
}

impl<T, N, L> NowOrLater<N, L>
where
    N: FnOnce() -> ControlFlow<T, L>,
    L: Future<Output = T>,
{
    #[inline]
    pub(super) fn new(now: N) -> Self {
        Self {
            now: Some(now),
            later: None,
        }
    }
}

/// Neither field is ever pinned in its place.
impl<N, L> Unpin for NowOrLater<N, L> {}

impl<T, N, L> Future for NowOrLater<N, L>
where
    N: FnOnce() -> ControlFlow<T, L>,
    L: Future<Output = T>,
{
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(now) = self.now.take() {
            match now() {
                ControlFlow::Break(answer) => return Poll::Ready(answer),
                ControlFlow::Continue(later) => self.later = Some(Box::pin(later)),
            }
        }
        let later = self
            .later
            .as_mut()
            .expect("no call is polled after its end");
        later.as_mut().poll(context)
    }
}
