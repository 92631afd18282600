"""What a user wrote: `cortex.yaml`, read with positions into the contract, and the project folder, as a bundle."""
