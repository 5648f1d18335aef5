"""What is measured on a GPU rented by the minute; every stage has a rehearsal on the CPU."""
