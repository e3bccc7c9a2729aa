# Interactive mode reuses the context automatically
mullama run llama3.2:1b --interactive --ctx-size 4096
