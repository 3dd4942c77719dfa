/* A program that links this prints the address of its first server, 127.0.0.1:PORT, as soon as it can be reached: when
   listen(2) has succeeded (TCP), or bind(2) (UDP). So whoever gave it port 0 need not ask again and again. */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

/* To be called once, early: it makes the linker take the rest. */
void announce_servers(void);

#endif
