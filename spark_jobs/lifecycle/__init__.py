"""What a run starts and stops: Java, the Spark session, local servers, replicas; and how it ends."""
