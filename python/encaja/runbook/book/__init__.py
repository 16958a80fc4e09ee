"""The run-book as a document: its model, its files, and what each step's result depends on."""
