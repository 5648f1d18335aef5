"""The steps of `adept_hub.load_pretrained` and `adept_hub.load_into`: options, copying and the report."""
