"""The ADePT trainer: unlabeled images in, a checkpoint folder out."""
