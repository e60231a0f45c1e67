//! The runtime: tasks, queues, workers, exchange, tickets, barriers.
