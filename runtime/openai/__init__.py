"""The OpenAI API under `/v1`, for predictors that declare a task."""
