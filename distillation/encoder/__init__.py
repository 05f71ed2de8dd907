"""The pretrained text encoder behind teacher, embeddings and features."""
