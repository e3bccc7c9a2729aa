# Daemon shares a single model across all connections
mullama serve --model llama3.2:1b --parallel 3
