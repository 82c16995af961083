"""What a command owes the processes around it: its streams, its exit codes and its signals."""
