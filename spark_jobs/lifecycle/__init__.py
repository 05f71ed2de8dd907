"""Start and end of a run: Java, the Spark session, embedded servers, replicas, signals and errors."""
