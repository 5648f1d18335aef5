"""Text for users: messages that are safe to print, commands that are safe to paste, and spelling suggestions."""
