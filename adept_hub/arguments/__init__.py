"""Arguments of public calls, checked before anything is done with them."""
