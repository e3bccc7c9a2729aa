mullama run llama3.2:1b "Quick answer:" --ctx-size 512
mullama run llama3.2:1b --interactive --ctx-size 4096
