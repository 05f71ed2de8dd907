"""The pretrained text encoder that teacher and features start from."""
