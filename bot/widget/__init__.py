"""What people see: the chat page and the document viewer, as plain HTML that needs no JavaScript."""
