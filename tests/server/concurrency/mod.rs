//! What transactions do to each other. Two of them are made to meet at the point that matters, by holding one open; and
//! where that point cannot be held, many race for it.

mod dropping;
mod ending;
mod opening;
mod purging;
mod revoking;
mod rotating;
