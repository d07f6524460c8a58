"""One run over an archive: what is asked of which server, and where the results go."""
