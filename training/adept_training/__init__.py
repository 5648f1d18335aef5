"""The ADePT trainer: photographs in, a checkpoint folder out."""
