"""Networks: each file is one formula. What trains them is `components.training.epochs`, for all alike."""
