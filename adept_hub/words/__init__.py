"""Text for people: messages made safe to print, commands made safe to paste, and spelling suggestions."""
