// Labels that we put on what we create.

/** Marks our helper containers; its value is the run that made them. */
export const helperLabel = 'varve.helper';
