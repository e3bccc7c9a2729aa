mullama run llama3.2:1b "Hello!" --batch-size 128
mullama run llama3.2:1b "Hello!" --batch-size 2048
