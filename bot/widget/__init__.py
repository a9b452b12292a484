"""What people see: the chat page and the document viewer, as HTML that needs no script, and the chat widget."""
