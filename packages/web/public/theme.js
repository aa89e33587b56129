// Runs before the first paint, so that the page never flashes in the wrong theme or language. Kept apart from the
// bundle because a content security policy without inline scripts needs a file of its own.
(function () {
  let stored = null;
  let language = null;
  try {
    stored = localStorage.getItem('varve.theme');
    language = localStorage.getItem('varve.language');
  } catch (error) {
    void error; // storage may be forbidden: the system's choice is used
  }
  const dark = stored === 'dark' || (stored !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  if (language === 'en' || language === 'es') document.documentElement.lang = language;
})();
