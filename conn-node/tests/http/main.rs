//! The HTTP half of the contract, through real sockets, before a toy of everything behind it.

mod accounts;
mod attacks;
mod chats;
mod cursors;
mod framework;
mod members;
mod messages;
mod openapi;
mod outside;
mod toy;
mod world;
