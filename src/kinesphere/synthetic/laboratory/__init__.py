"""The movement-analysis laboratory: base movements, their graded evaluations, and footage without labels."""
