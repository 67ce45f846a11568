//! XML bodies: well-formed or not, and the values that an XPath selects.
