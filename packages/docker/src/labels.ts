// Labels that we put on what we create.

/** Marks our helper containers; its value is the run that made them. */
export const helperLabel = 'varve.helper';

/** Marks containers and volumes of ours that run a server; its value says whose they are. */
export const serverLabel = 'varve.server';
