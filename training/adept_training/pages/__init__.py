"""The only writers of HTML pages and figures."""
