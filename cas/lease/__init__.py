"""Who works on a store from where: leases on the ref home, sessions of writers, and sites."""
