"""Research: proofs, searches and reports about the decision core; nothing here is imported by a trader."""
