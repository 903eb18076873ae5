//! What renderers promise, over reports made by hand.

mod explain;
mod hostile;
mod html;
mod lines;
mod pages;
mod requests;
mod sample;
mod schema;
mod traces;
mod voice;
