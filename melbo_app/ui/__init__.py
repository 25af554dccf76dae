"""The page: builds components and binds events; everything else happens in the workbench."""
