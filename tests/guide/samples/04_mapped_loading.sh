# mmap enabled by default
mullama run llama3.2:1b "Hello!" --mmap

# Lock model in RAM
mullama run llama3.2:1b "Hello!" --mlock
