// Where the module is that threads load to check pages.

/** URL of a module with `pageBytes`, `findBadPage` and `describePage`: see page-check.ts. */
export const pageCheckModule: string = new URL('./page-check.ts', import.meta.url).href;
