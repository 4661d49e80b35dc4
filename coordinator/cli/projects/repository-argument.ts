/** Whether a person wrote a URL or an absolute path; anything else is a path from where they stand. */
export const isAbsoluteOrUrl = (text: string): boolean =>
  text.startsWith('/') || /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || /^[^/]+@?[^/:]+:/.test(text);
