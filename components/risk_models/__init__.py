"""Risk models: bars in, a covariance in factored form on demand."""
