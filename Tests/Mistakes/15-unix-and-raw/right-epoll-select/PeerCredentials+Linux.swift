// SO_PEERCRED is asked in PeerCredentials.swift.
