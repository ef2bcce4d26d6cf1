//! How an outside system behaves: at once or late, with success, with a failure, or with a success that
//! nobody learns of.

use parking_lot::Mutex;
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::sleep;

/// Of one system; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Climate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    weather: Weather,
    /// Of the next call, whatever the weather.
    foretold: Option<Fate>,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Weather {
    /// It answers nobody.
    pub away: bool,
    /// The longest that a call waits, before it and after it.
    pub delay: Duration,
    /// How likely a call fails without effect.
    pub fails: f64,
    /// How likely what it did is not told.
    pub loses: f64,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Done,
    /// It has no effect.
    Fails,
    /// It has its effect, and seems to have failed.
    Untold,
    /// It seems to have failed, and is still on its way.
    OnItsWay,
    /// It has its effect at once, and is answered so much later.
    Slow(Duration),
}

impl Climate {
    pub fn set(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    pub fn set_away(&self, away: bool) {
        self.0.lock().weather.away = away;
    }

    pub fn is_away(&self) -> bool {
        self.0.lock().weather.away
    }

    /// The next call has this fate.
    pub fn foretell(&self, fate: Fate) {
        self.0.lock().foretold = Some(fate);
    }

    /// Whether a call is still to have the fate that was foretold.
    pub fn is_foretold(&self) -> bool {
        self.0.lock().foretold.is_some()
    }

    pub fn fate(&self) -> Fate {
        let (weather, foretold) = {
            let mut state = self.0.lock();
            (state.weather, state.foretold.take())
        };
        let mut random = rand::rng();
        if let Some(fate) = foretold {
            fate
        } else if weather.away || random.random_bool(weather.fails) {
            Fate::Fails
        } else if random.random_bool(weather.loses) {
            if random.random() { Fate::Untold } else { Fate::OnItsWay }
        } else {
            Fate::Done
        }
    }

    pub fn delay(&self) -> Duration {
        let longest = self.0.lock().weather.delay;
        longest.mul_f64(rand::rng().random::<f64>())
    }

    /// As long as a call is on its way; others may go on meanwhile.
    pub async fn wait(&self) {
        match self.delay() {
            Duration::ZERO => yield_now().await,
            delay => sleep(delay).await,
        }
    }

    /// Carries a call out as fate has it; None: it seems to have failed.
    pub async fn befall<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let fate = self.fate();
        self.wait().await;
        let done = match fate {
            // Whoever asks again ends what is on its way.
            Fate::Fails | Fate::OnItsWay => None,
            Fate::Untold => {
                call.await;
                None
            }
            Fate::Done => Some(call.await),
            Fate::Slow(time) => {
                let answer = call.await;
                sleep(time).await;
                Some(answer)
            }
        };
        self.wait().await;
        done
    }
}

/// Implements a trait by another of its implementations, each call befalling in the climate. `rest` are
/// the calls that are more than that.
#[macro_export]
macro_rules! befalling {
    (
        impl $trait:ident for $form:ty, by $inner:ident, with $error:ident;
        $(fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $answer:ty;)*
        rest { $($rest:tt)* }
    ) => {
        #[async_trait::async_trait]
        impl $trait for $form {
            $(
                async fn $name(&self, $($arg: $type),*) -> $answer {
                    let befallen = self.climate.befall(self.$inner.$name($($arg),*)).await;
                    befallen.unwrap_or_else(|| Err($error().into()))
                }
            )*
            $($rest)*
        }
    };
}
