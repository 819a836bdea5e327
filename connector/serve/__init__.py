"""`connector serve`: scheduler, web debugger and REST API in one process; runs go on in processes of their own."""
