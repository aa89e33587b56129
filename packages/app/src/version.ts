// The version of Varve: one number for all rooms, kept in step with the root package.json.

/** Version as written into snapshots and shown to people. */
export const varveVersion = '0.1.0';
