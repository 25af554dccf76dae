"""The public page: which methods of the workbench visitors may use, how much, and what is hidden from them."""
