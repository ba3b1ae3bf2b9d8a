//! Printing a graph as text.
