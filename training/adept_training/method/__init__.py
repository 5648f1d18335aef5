"""ADePT, SoCo and BYOL: a batch in, losses out."""
